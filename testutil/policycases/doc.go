// Package policycases makes intentions and requests at random, and decides about them in a way of its own: without rules, their
// order or exclusions, so that what the mesh decides can be held against a second opinion.
package policycases
