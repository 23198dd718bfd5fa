#include "CCatalogue.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

static const unsigned char connectors[] = {
#embed "management/connectors.yaml"
};
static const unsigned char ai21[] = {
#embed "ai21.yaml"
};
static const unsigned char anthropic[] = {
#embed "anthropic.yaml"
};
static const unsigned char azure[] = {
#embed "azure.yaml"
};
static const unsigned char bedrock[] = {
#embed "bedrock.yaml"
};
static const unsigned char cerebras[] = {
#embed "cerebras.yaml"
};
static const unsigned char cloudflare[] = {
#embed "cloudflare.yaml"
};
static const unsigned char cohere[] = {
#embed "cohere.yaml"
};
static const unsigned char databricks[] = {
#embed "databricks.yaml"
};
static const unsigned char deepseek[] = {
#embed "deepseek.yaml"
};
static const unsigned char fireworks[] = {
#embed "fireworks.yaml"
};
static const unsigned char gemini[] = {
#embed "gemini.yaml"
};
static const unsigned char groq[] = {
#embed "groq.yaml"
};
static const unsigned char huggingface[] = {
#embed "huggingface.yaml"
};
static const unsigned char jina[] = {
#embed "jina.yaml"
};
static const unsigned char litellm[] = {
#embed "litellm.yaml"
};
static const unsigned char llamacpp[] = {
#embed "llamacpp.yaml"
};
static const unsigned char lmstudio[] = {
#embed "lmstudio.yaml"
};
static const unsigned char mistral[] = {
#embed "mistral.yaml"
};
static const unsigned char nvidia[] = {
#embed "nvidia.yaml"
};
static const unsigned char ollama[] = {
#embed "ollama.yaml"
};
static const unsigned char openai[] = {
#embed "openai.yaml"
};
static const unsigned char openai_compatible[] = {
#embed "openai-compatible.yaml"
};
static const unsigned char openrouter[] = {
#embed "openrouter.yaml"
};
static const unsigned char perplexity[] = {
#embed "perplexity.yaml"
};
static const unsigned char replicate[] = {
#embed "replicate.yaml"
};
static const unsigned char together[] = {
#embed "together.yaml"
};
static const unsigned char vertex[] = {
#embed "vertex.yaml"
};
static const unsigned char vllm[] = {
#embed "vllm.yaml"
};
static const unsigned char voyage[] = {
#embed "voyage.yaml"
};
static const unsigned char watsonx[] = {
#embed "watsonx.yaml"
};
static const unsigned char xai[] = {
#embed "xai.yaml"
};

static const struct maskllm_catalogue_file files[] = {
  {"ai21", ai21, sizeof ai21},
  {"anthropic", anthropic, sizeof anthropic},
  {"azure", azure, sizeof azure},
  {"bedrock", bedrock, sizeof bedrock},
  {"cerebras", cerebras, sizeof cerebras},
  {"cloudflare", cloudflare, sizeof cloudflare},
  {"cohere", cohere, sizeof cohere},
  {"databricks", databricks, sizeof databricks},
  {"deepseek", deepseek, sizeof deepseek},
  {"fireworks", fireworks, sizeof fireworks},
  {"gemini", gemini, sizeof gemini},
  {"groq", groq, sizeof groq},
  {"huggingface", huggingface, sizeof huggingface},
  {"jina", jina, sizeof jina},
  {"litellm", litellm, sizeof litellm},
  {"llamacpp", llamacpp, sizeof llamacpp},
  {"lmstudio", lmstudio, sizeof lmstudio},
  {"mistral", mistral, sizeof mistral},
  {"nvidia", nvidia, sizeof nvidia},
  {"ollama", ollama, sizeof ollama},
  {"openai", openai, sizeof openai},
  {"openai-compatible", openai_compatible, sizeof openai_compatible},
  {"openrouter", openrouter, sizeof openrouter},
  {"perplexity", perplexity, sizeof perplexity},
  {"replicate", replicate, sizeof replicate},
  {"together", together, sizeof together},
  {"vertex", vertex, sizeof vertex},
  {"vllm", vllm, sizeof vllm},
  {"voyage", voyage, sizeof voyage},
  {"watsonx", watsonx, sizeof watsonx},
  {"xai", xai, sizeof xai},
};

size_t maskllm_catalogue_count(void) { return sizeof files / sizeof files[0]; }
const struct maskllm_catalogue_file *maskllm_catalogue_at(size_t i) { return &files[i]; }

static const struct maskllm_catalogue_file connector_file = {"connectors", connectors, sizeof connectors};
const struct maskllm_catalogue_file *maskllm_connectors(void) { return &connector_file; }
