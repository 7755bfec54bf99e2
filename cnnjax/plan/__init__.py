"""What a run would cost on devices that are not there."""
