"""One verb per file: what a person or an operator can ask accounts to do."""
