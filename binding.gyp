{
  "variables": { "portable%": 0, "rtc%": 1 },
  "targets": [
    {
      "target_name": "trunkline",
      "sources": [
        "native/addon.cc",
        "native/base64.cc",
        "native/concealer.cc",
        "native/dtmf.cc",
        "native/g711.cc",
        "native/kernels/avx2.cc",
        "native/kernels/avx512.cc",
        "native/kernels/kernels.cc",
        "native/kernels/neon.cc",
        "native/kernels/scalar.cc",
        "native/kernels/sse2.cc",
        "native/media_message.cc",
        "native/mixer.cc",
        "native/payload.cc",
        "native/resampler.cc",
        "native/shortener.cc",
        "native/transcoder.cc"
      ],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": [
        "NAPI_VERSION=8",
        "NAPI_DISABLE_CPP_EXCEPTIONS",
        "NODE_ADDON_API_DISABLE_DEPRECATED"
      ],
      "cflags": ["-Wall", "-Wextra", "-fvisibility=hidden"],
      "cflags_cc": ["-std=c++17"],
      "configurations": {
        "Release": { "cflags": ["-O3"] }
      },
      "conditions": [
        [
          "OS=='linux' and portable==1",
          {
            "sources": ["native/portable/runtime.cc"],
            "cflags": ["-ffunction-sections", "-fdata-sections"],
            "ldflags": [
              "-nodefaultlibs",
              "-s",
              "-Wl,--gc-sections",
              "-Wl,--version-script=<(module_root_dir)/native/portable/exports.map"
            ],
            "libraries": ["-lm", "-lc", "-lgcc"]
          }
        ]
      ],
      "xcode_settings": {
        "MACOSX_DEPLOYMENT_TARGET": "11.0",
        "CLANG_CXX_LANGUAGE_STANDARD": "c++17",
        "CLANG_CXX_LIBRARY": "libc++",
        "GCC_OPTIMIZATION_LEVEL": "3",
        "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
        "WARNING_CFLAGS": ["-Wall", "-Wextra"]
      },
      "msvs_settings": {
        "VCCLCompilerTool": {
          "AdditionalOptions": ["/std:c++17", "/Zc:__cplusplus", "/utf-8", "/constexpr:steps10000000"],
          "WarningLevel": 3
        }
      }
    }
  ],
  "conditions": [
    [
      "OS!='win' and rtc==1",
      {
        "targets": [
          {
            "target_name": "trunkline_rtc",
            "sources": [
              "native/rtc/addon.cc",
              "native/rtc/certificate.cc",
              "native/rtc/dtls.cc",
              "native/rtc/opus.cc",
              "native/rtc/srtp.cc"
            ],
            "defines": ["NAPI_VERSION=8", "OPENSSL_SUPPRESS_DEPRECATED"],
            "cflags": ["-Wall", "-Wextra", "-fvisibility=hidden"],
            "cflags_cc": ["-std=c++17"],
            "configurations": {
              "Release": { "cflags": ["-O3"] }
            },
            "conditions": [
              ["OS=='linux'", { "ldflags": ["-Wl,-z,now"] }],
              [
                "OS=='linux' and portable==1",
                {
                  "sources": ["native/portable/runtime.cc"],
                  "cflags": ["-ffunction-sections", "-fdata-sections"],
                  "ldflags": [
                    "-nodefaultlibs",
                    "-s",
                    "-Wl,--gc-sections",
                    "-Wl,--version-script=<(module_root_dir)/native/portable/exports.map"
                  ],
                  "libraries": ["-lc", "-lgcc"]
                }
              ]
            ],
            "xcode_settings": {
              "MACOSX_DEPLOYMENT_TARGET": "11.0",
              "CLANG_CXX_LANGUAGE_STANDARD": "c++17",
              "CLANG_CXX_LIBRARY": "libc++",
              "GCC_OPTIMIZATION_LEVEL": "3",
              "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
              "WARNING_CFLAGS": ["-Wall", "-Wextra"]
            }
          }
        ]
      }
    ]
  ]
}
