"""What a config costs on this machine: its steps and its layers."""
