"""Import the user's module and evaluate expressions in it.

    import_context   the folders, `sys.argv`, `sys.modules` and stdout that user code sees while it runs
    load             a target -> its Python module
      stop_at_training   stops a script before its first step, and gives its models and optimizers
      user_file_loader   loads the script so that no `except:` in it swallows that stop
    evaluate         an expression of the user -> its value
    user_errors      an exception of user code -> one message with their file and line

`activate(context)` surrounds every call of `load` and every evaluation.
"""
