Kind = "service-defaults"
Name = "web"
Portocol = "http"
