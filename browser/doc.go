// Package browser has the tests of the pages in a browser: package pool/debug's and
// fileindex serve's. They have the tag chromium, and are run by make browser-check;
// SQLANE_CHROMIUM says where the browser is.
package browser
