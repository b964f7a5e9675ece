"""The only user of the API clients: configuration, requests, watches, writes, events and the lease."""
