"""The service: `main` serves HTTP, `infrastructure` holds what it runs on, each other folder is one slice."""

#: The name that people read, for instance at the head of the API documentation.
TITLE = "{{ cookiecutter.__name_quoted }}"  # fmt: skip
