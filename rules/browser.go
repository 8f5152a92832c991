package rules

// Browser is a class of clients, by the engine that shows the page. It is
// decided before anything depends on the arm, from what the client says of
// itself.
type Browser string

// The classes. What is of none, "", was exposed before classes were kept.
const (
	Chromium     Browser = "chromium" // Chrome, Edge, Opera, Samsung Internet, Android's web views
	Firefox      Browser = "firefox"
	Safari       Browser = "safari" // and all that is WebKit: every browser on iOS, and its web views
	OtherBrowser Browser = "other"
	App          Browser = "app" // what doesn't say that it is a browser, or says nothing
)

// Browsers are the classes, in the order in which they are kept: do not change
// it.
var Browsers = [...]Browser{Chromium, Firefox, Safari, OtherBrowser, App}
