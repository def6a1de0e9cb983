// Package dns answers DNS questions about nodes and services from what the servers know.
//
// A question goes three ways. The common one (over UDP, no options, a name that is asked often) is looked up by its raw
// bytes and answered from records that were packed when they last changed. Anything else is read by miekg/dns, but
// answered by the same function, answerTo, which is pure: rows in, records out. A name that nobody has asked for yet costs
// one query, and from then on a watch keeps its rows current; so answers go on while the servers are away.
//
// The files, in the order of the way of a question: udp.go and tcp.go read it, question.go and odd.go take it apart, hot.go
// holds the answers that are packed already; else lookup.go finds out what its name means, views.go and view.go know the
// rows, answer.go, service.go, query.go, node.go and reverse.go choose records, pack.go and write.go make bytes of them.
// What leads elsewhere takes forward.go and recursor.go; directory.go keeps floods of names that do not exist from the servers.
package dns
