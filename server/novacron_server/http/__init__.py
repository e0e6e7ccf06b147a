"""The door: routes from endpoints, problems from errors, headers and limits on every answer."""
