package meshcases

// HTTPCases is everything that a data plane must do that knows requests.
var HTTPCases = []HTTPCase{
	{"a request passes, and the service is told who calls", "http", requestPasses},
	{"HTTP/2 passes from end to end", "http2", http2Passes},
	{"gRPC's protocol passes from end to end", "grpc", http2Passes},
	{"a websocket passes", "http", websocketPasses},
	{"each request is judged by the newest rules, on the connections that there are", "http", requestsAreJudged},
	{"who is not of the mesh is refused", "http", httpStrangersAreRefused},
	{"a path is brought into one form before it is judged or routed", "http", pathsAreNormalized},
	{"the proxy's own timeouts and limits hold", "http", localSettings},

	{"exposed paths are served to anybody, and no others", "http", pathsAreExposed},
	{"a public listener that an operator wrote is guarded", "http", ownListenerIsGuarded},
	{"a service may change its protocol", "http", protocolChanges},

	{"routes match path, headers, query and method, the first one decides", "http", routesMatch},
	{"prefixes and headers are rewritten on the way", "http", rewrites},
	{"a request that takes too long is given up", "http", timeouts},
	{"requests are tried again as the route says", "http", retries},
	{"requests are split by weight, and each leg has its headers", "http", splits},
	{"subsets are told apart by their metadata", "http", subsets},
	{"a redirect answers for the whole service", "http", redirected},

	{"calls fail over from target to target and come back", "http", failsOver},
	{"calls fail over in HTTP/2", "http2", failsOver},
	{"connections fail over", "tcp", failsOver},
	{"requests with the same hash go to the same instance", "http", hashes},
	{"every policy by which an instance is chosen works", "http", policies},
	{"what is beyond the limits of an upstream is refused at once", "http", limits},
	{"an instance that answers with errors is left alone", "http", ejects},

	{"changes of routes, splits, subsets and instances drop no request", "http", changesUnderLoad},
	{"changes of clusters drop no request", "http", clusterChangesUnderLoad},
	{"what the proxy does not take leaves what was before", "http", rejectedRouteStays},
}
