pytest_plugins = ["octoco.testing.provisions"]
