"""Which parameters of a PyTorch model get weight decay, which should, and where the two differ."""
