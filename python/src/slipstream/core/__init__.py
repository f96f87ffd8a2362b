"""The parts every strategy shares."""
