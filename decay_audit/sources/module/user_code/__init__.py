"""Import the user's module and evaluate expressions in it.

    import_context   the folders, `sys.argv`, `sys.modules` and stdout that user code sees; undone afterwards
    load             a target -> its Python module
      stop_at_training   a script runs up to its first step, and its model and optimizer are taken
      user_file_loader   no `except:` of a script swallows that stop
    evaluate         an expression of the user -> its value
    user_errors      an exception of user code -> one message with their file and line

`activate(context)` surrounds every call of `load` and every evaluation.
"""
