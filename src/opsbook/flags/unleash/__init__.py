"""Unleash's client API, so that an Unleash SDK of any language follows our flags unchanged."""
