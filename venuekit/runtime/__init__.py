"""Effects: the services every venue shares, driving the machines of `core` over transports."""
