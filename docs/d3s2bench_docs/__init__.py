"""The pages of the reference, made from the code: command line, configuration, hooks, components, files, Python.

Every module gives ``items()``, what it documents with the text that was found, and ``page()`` or ``pages()``, which
shows all of them. So a test can tell what has no text, and nothing is written twice.
"""
