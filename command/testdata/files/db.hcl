services {
  name = "db"
  id   = "db-1"
  port = 5432
}

services {
  name = "db"
  id   = "db-2"
  port = 5433
}
