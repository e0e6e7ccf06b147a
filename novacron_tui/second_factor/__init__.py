"""Setting up a second factor: the secret as a QR code, the first code of the app, and the recovery codes."""
