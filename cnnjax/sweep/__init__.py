"""Many runs of one config with other settings: ``cnnjax sweep``."""
