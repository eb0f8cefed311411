"""The real services that tests run on: processes of the tests' own, on their own ports, ended with them."""
