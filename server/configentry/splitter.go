package configentry

import (
	"math"

	"github.com/parleymesh/parley/api"
)

func checkSplitter(e *api.ServiceSplitter) error {
	if len(e.Splits) == 0 {
		return refusal("no splits configured: Splits needs at least one")
	}
	hundredths := 0
	err := at("Splits", e.Splits, func(path string, s *api.ServiceSplit) error {
		n, err := checkWeight(path+".Weight", s.Weight)
		hundredths += n
		return checks(err,
			checkOptionalName(path+".Service", s.Service),
			checkSubsetName(path+".ServiceSubset", s.ServiceSubset),
			checkPlace(path, s.Namespace, s.Partition),
			checkModifiers(path+".RequestHeaders", s.RequestHeaders),
			checkModifiers(path+".ResponseHeaders", s.ResponseHeaders),
		)
	})
	if err != nil {
		return err
	}
	if hundredths < 9999 || hundredths > 10001 { // three times 33.33 is meant to be all
		return refusal("the sum of all split weights must be 100, not %f", float64(hundredths)/100)
	}
	return nil
}

// checkWeight returns a weight in hundredths of a percent, which is as fine as Envoy is told.
func checkWeight(path string, w float32) (int, error) {
	if math.IsNaN(float64(w)) || w < 0 || w > 100 {
		return 0, refusal("%s %v is out of range: 0 to 100", path, w)
	}
	n := math.Round(float64(w) * 100)
	if w > 0 && n == 0 {
		return 0, refusal("%s %v is less than a hundredth, the least that can be told apart", path, w)
	}
	return int(n), nil
}
