"""Address blocks: networks whose requests are refused before the service sees them."""
