"""What the end-to-end tests are made of: real programs in a temporary directory, and clients that hide nothing."""
