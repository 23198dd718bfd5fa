#include "dashboard.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

// The charts are Debian's libjs-chart.js; `make deps` installs it.
static const unsigned char chart[] = {
#embed "/usr/share/javascript/chart.js/chart.min.js"
};
static const unsigned char index_html[] = {
#embed "page/index.html"
};
static const unsigned char app_css[] = {
#embed "page/app.css"
};
static const unsigned char app_js[] = {
#embed "page/app.js"
};
static const unsigned char api_js[] = {
#embed "page/api.js"
};
static const unsigned char dom_js[] = {
#embed "page/dom.js"
};
static const unsigned char alerts_js[] = {
#embed "page/alerts.js"
};
static const unsigned char charts_js[] = {
#embed "page/charts.js"
};
static const unsigned char overview_js[] = {
#embed "page/overview.js"
};
static const unsigned char keys_js[] = {
#embed "page/keys.js"
};
static const unsigned char key_js[] = {
#embed "page/key.js"
};
static const unsigned char providers_js[] = {
#embed "page/providers.js"
};
static const unsigned char watch_js[] = {
#embed "page/watch.js"
};

#define SCRIPT "text/javascript; charset=utf-8"

static const struct dashboard_file files[] = {
    {"index.html", "text/html; charset=utf-8", index_html, sizeof index_html},
    {"app.css", "text/css; charset=utf-8", app_css, sizeof app_css},
    {"app.js", SCRIPT, app_js, sizeof app_js},
    {"api.js", SCRIPT, api_js, sizeof api_js},
    {"dom.js", SCRIPT, dom_js, sizeof dom_js},
    {"alerts.js", SCRIPT, alerts_js, sizeof alerts_js},
    {"charts.js", SCRIPT, charts_js, sizeof charts_js},
    {"overview.js", SCRIPT, overview_js, sizeof overview_js},
    {"keys.js", SCRIPT, keys_js, sizeof keys_js},
    {"key.js", SCRIPT, key_js, sizeof key_js},
    {"providers.js", SCRIPT, providers_js, sizeof providers_js},
    {"watch.js", SCRIPT, watch_js, sizeof watch_js},
    {"chart.min.js", SCRIPT, chart, sizeof chart},
};

size_t dashboard_count(void) { return sizeof files / sizeof files[0]; }
struct dashboard_file dashboard_file_at(size_t index) { return files[index]; }
