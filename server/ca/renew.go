package ca

import "time"

// RenewAt returns when a certificate is to be replaced: between half and nine tenths of its life, where chance, from 0
// up to 1, says. With chance drawn anew for each certificate, those that were signed together are not renewed together,
// and a tenth of the life is left for a server that cannot be reached.
func RenewAt(notBefore, notAfter time.Time, chance float64) time.Time {
	life := notAfter.Sub(notBefore)
	if life <= 0 {
		return notBefore
	}
	return notBefore.Add(time.Duration(float64(life) * (0.5 + 0.4*min(max(chance, 0), 1))))
}
