"""The audit where training happens: in a test, in a Lightning fit, in a transformers Trainer.

    training       the audit that both callbacks do when training starts
    lightning      the callback for Lightning
    trainer        the callback for transformers' Trainer
    watching       `decay_audit.watch()`: the same in any script or notebook
    pytest_plugin  the fixture `decay_audit`

Lightning, transformers and pytest are each imported in one of these modules only.
"""
