from rest_framework.routers import SimpleRouter

from ratios import views

router = SimpleRouter(trailing_slash=False)
router.register("long-short-ratios/history", views.RatioHistoryViewSet, "ratio-history")
router.register("long-short-ratios", views.RatioViewSet, "ratio")

urlpatterns = router.urls
