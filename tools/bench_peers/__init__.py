"""Other engines beside ours: environments, models, and one class per engine."""
