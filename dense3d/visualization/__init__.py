"""Drawing of samples and results."""
