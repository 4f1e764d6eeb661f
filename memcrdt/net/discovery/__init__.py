"""Sources of addresses of other devices. They give no trust: a device has to prove its id when it is dialed."""
