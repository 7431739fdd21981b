"""What the behaviour scenarios stand on: the module under test, its doors, and the official clients."""
