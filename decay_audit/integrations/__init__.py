"""The audit where training happens: in a test, in a Lightning fit, in a transformers Trainer. Each imports its host."""
