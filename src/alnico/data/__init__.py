"""From raw files to frozen records: interactions, features, data sets, splits."""
