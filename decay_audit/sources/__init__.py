"""Reading: a target becomes an Inventory."""
