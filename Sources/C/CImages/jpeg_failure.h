/* libjpeg's errors, which are longjmps, as a message for the caller; shared by reading and writing. */
#ifndef VTW_JPEG_FAILURE_H
#define VTW_JPEG_FAILURE_H
#include "CImages.h"

#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>

typedef struct {
  struct jpeg_error_mgr base; /* first: libjpeg hands back its address */
  jmp_buf exit;
  char *message;
} failure;

static _Noreturn inline void fail(failure *failure, const char *reason) {
  snprintf(failure->message, VTW_MESSAGE_SIZE, "%s", reason);
  longjmp(failure->exit, 1);
}

static inline void exit_with_error(j_common_ptr info) {
  char text[JMSG_LENGTH_MAX];
  info->err->format_message(info, text);
  fail((failure *)info->err, text);
}

/* Warnings are kept quiet and are not errors: Pillow decodes such files too. */
static inline void ignore_message(j_common_ptr info) { (void)info; }

/* The error manager of a codec, to be set as its `err`. */
static inline struct jpeg_error_mgr *failures_into(failure *failure, char *message) {
  jpeg_std_error(&failure->base);
  failure->message = message;
  failure->base.error_exit = exit_with_error;
  failure->base.output_message = ignore_message;
  return &failure->base;
}

#endif
