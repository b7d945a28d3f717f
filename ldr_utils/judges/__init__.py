"""Who judges answers, behind one interface."""
