"""What runs a network: engines, devices, and graphs made for them."""
