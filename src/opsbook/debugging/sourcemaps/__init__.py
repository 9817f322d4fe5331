"""Source maps: taken in as sentry-cli uploads them, and used to read minified scripts' frames back to their source."""
