"""The vocabulary that every part of Ironbook shares: wire layouts, codes, enumerations. It imports nothing of ours."""
