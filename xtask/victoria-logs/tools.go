//go:build tools

// Package tools pins VictoriaLogs, which the tests deliver to: it takes bulk requests as Elasticsearch does, and has no index templates.
package tools

import _ "github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs"
