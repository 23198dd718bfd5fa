#include "mail.h"
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

struct source {
  const char *text;
  size_t left;
};

static size_t give(char *into, size_t size, size_t count, void *from) {
  struct source *source = from;
  size_t n = size * count < source->left ? size * count : source->left;
  memcpy(into, source->text, n);
  source->text += n;
  source->left -= n;
  return n;
}

int mail_send(const char *url, int must_encrypt, const char *user, const char *password, const char *authorities, const char *from, const char *const *to,
              size_t count, const char *text, size_t length, long timeout_ms, char *why) {
  why[0] = 0;
  CURL *curl = curl_easy_init();
  if (!curl) {
    snprintf(why, 256, "no memory");
    return 1;
  }
  struct curl_slist *recipients = NULL;
  for (size_t i = 0; i < count; i++) recipients = curl_slist_append(recipients, to[i]);
  struct source source = {text, length};
  char error[CURL_ERROR_SIZE] = {0};
  curl_easy_setopt(curl, CURLOPT_URL, url);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
  curl_easy_setopt(curl, CURLOPT_USE_SSL, (long)(must_encrypt ? CURLUSESSL_ALL : CURLUSESSL_TRY));
  if (authorities) curl_easy_setopt(curl, CURLOPT_CAINFO, authorities);
  if (user) {
    curl_easy_setopt(curl, CURLOPT_USERNAME, user);
    curl_easy_setopt(curl, CURLOPT_PASSWORD, password ? password : "");
  }
  curl_easy_setopt(curl, CURLOPT_MAIL_FROM, from);
  curl_easy_setopt(curl, CURLOPT_MAIL_RCPT, recipients);
  curl_easy_setopt(curl, CURLOPT_READFUNCTION, give);
  curl_easy_setopt(curl, CURLOPT_READDATA, &source);
  curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
  CURLcode code = curl_easy_perform(curl);
  if (code != CURLE_OK) snprintf(why, 256, "%.250s", error[0] ? error : curl_easy_strerror(code));
  curl_slist_free_all(recipients);
  curl_easy_cleanup(curl);
  return code == CURLE_OK ? 0 : 1;
}
