package conform

import "slices"

// allCases are the cases in the order of their numbers. A number is never used for
// another case: reports of different versions are compared by them.
func allCases() []testCase {
	return slices.Concat(presenceCases(), paymentCases(), refusalCases(), evidenceCases(), reversalCases(), refundCases(), queryCases(),
		numberCases(), otherCases(), genuineCases(), malformedCases(), batchCases(), batchBoundCases(), bookCases(), bookBoundCases(), restartCases())
}
