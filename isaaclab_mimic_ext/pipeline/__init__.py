"""From recording to evaluation: which steps there are, which of them are up to date, and the page about them."""
