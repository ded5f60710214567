"""A plugin that misspells a hook: what it provides would be lost in silence."""

from venuekit.interfaces.hooks import Kind, Provided, hookimpl


@hookimpl
def venuekit_retry_policys():
    return (Provided(Kind.RETRY, "never", "misspelled_plugin:Never"),)


@hookimpl
def venuekit_commands():
    return (Provided(Kind.COMMAND, "misspelled", "misspelled_plugin:group"),)
