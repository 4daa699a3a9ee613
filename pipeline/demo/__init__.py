"""What the demo and the tests need: a stand-in site, and sample data. Everything in them is invented."""
