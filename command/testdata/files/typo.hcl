datacentre = "dc2"
