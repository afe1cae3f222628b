"""What the instructions of each machine refer to, behind one interface (`instructions`)."""
