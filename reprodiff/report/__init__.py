"""Reports: one model, several renderings. They show what was found and decide nothing."""
