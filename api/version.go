package api

// CompatibleWith is the release of Consul whose public API this one speaks. Clients that ask an agent for its version decide by
// it what they may use, so it is what agents tell.
const CompatibleWith = "1.21.4"
