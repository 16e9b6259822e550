"""Which environment variables a template may give to a function: names of its own.

A template that comes with UpdateStack may set only those that the built template sets. On Lambda
any of them acts in a sandbox. Here the function's process is one of this machine's, so none may
change how it starts, what it loads, what it starts itself, or whom it calls. What nobody has
thought of acts late at least: `bootstrap.py` sets them once the interpreter has started.
"""

import re
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase

from infra.local.errors import TemplateError

OWN = re.compile(r"[A-Z][A-Z0-9_]*")
# Lambda's own: docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html.
READ_BY = {
    "Lambda or an AWS library": ("AWS_*", "BOTO_*", "LAMBDA_*"),
    "the local run": ("MODEL_DIR", "TEMPLATE_VARIABLES"),
    "the loader or the C library": (
        *("LD_*", "GLIBC_*", "GCONV_*", "GETCONF_*", "MALLOC_*", "RES_*", "RESOLV_*", "LC_*"),
        *("LANG", "LANGUAGE", "LOCPATH", "NLSPATH", "TZ", "TZDIR", "HOSTALIASES", "LOCALDOMAIN"),
        *("POSIXLY_CORRECT", "TMP", "TEMP", "TMPDIR"),
    ),
    "an interpreter": (
        *("PYTHON*", "PYDEV*", "PIP_*", "UV_*", "VIRTUAL_ENV", "CONDA_*", "PERL*", "RUBY*"),
        *("GEM_*", "NODE_*", "NPM_*", "JAVA_*", "JDK_*", "CLASSPATH", "LUA_*", "PHP_*", "PHPRC"),
    ),
    "a shell": (
        *("PATH", "HOME", "SHELL", "USER", "LOGNAME", "PWD", "OLDPWD", "ENV", "IFS", "PS[0-9]"),
        *("BASH*", "SHELLOPTS", "PROMPT_COMMAND", "CDPATH", "FPATH", "ZDOTDIR", "TERM", "TERMINFO"),
    ),
    "a TLS or HTTP library": (
        *("OPENSSL_*", "SSL_*", "SSLKEYLOGFILE", "GNUTLS_*", "NSS_*", "PKCS11_*", "KRB5*", "NETRC"),
        *("CURL_*", "REQUESTS_*", "*_PROXY", "WGETRC"),
    ),
    "a program that a function may start": (
        *("EDITOR", "VISUAL", "PAGER", "BROWSER", "LESSOPEN", "LESSCLOSE", "MANPAGER", "DISPLAY"),
        *("GIT_*", "SSH_*", "GPG_*", "SUDO_*", "XDG_*", "DBUS_*", "DOCKER_*", "MAKE*", "LISTEN_*"),
    ),
    "a runtime of threads or accelerators that loads tools": (
        *("OMP_TOOL*", "KMP_*", "LIBGOMP_*", "CUDA_*", "NVIDIA_*", "ROCM_*", "OCL_*", "OPENCL_*"),
        *("ASAN_*", "LSAN_*", "MSAN_*", "TSAN_*", "UBSAN_*", "GCOV_*"),
    ),
}
# Settings of AWS's libraries that load nothing and call nobody.
HARMLESS = {
    *("AWS_DEFAULTS_MODE", "AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE"),
    *("AWS_XRAY_CONTEXT_MISSING", "AWS_XRAY_TRACING_NAME"),
}


def check_names(names: Collection[str], *, allowed: Collection[str]) -> None:
    """Raise TemplateError if a template that came over the network sets a name of its own.

    `allowed` are those of the template that was built on this machine.
    """
    for name in sorted(set(names) - set(allowed)):
        raise TemplateError(
            f"the template sets the environment variable {name[:64]!r}, which the built template "
            "does not: add it to template.yaml and run `sam build`"
        )


def check_variables(variables: Mapping[str, str]) -> None:
    """Raise TemplateError if a template may not set one of these."""
    for name, value in variables.items():
        if not OWN.fullmatch(name):
            raise TemplateError(
                f"the template sets the environment variable {name[:64]!r}: expected capital "
                "letters, digits and underscores, a letter first"
            )
        for reader, patterns in READ_BY.items():
            if name not in HARMLESS and any(fnmatchcase(name, one) for one in patterns):
                raise TemplateError(
                    f"the template sets the environment variable {name}, which {reader} reads: on "
                    "this machine there is no sandbox for that, choose a name of your own"
                )
        if "\0" in value:
            raise TemplateError(f"the template sets {name} to a text with a NUL character")
